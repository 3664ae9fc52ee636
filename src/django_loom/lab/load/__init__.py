"""Making a load, and measuring what comes back."""
