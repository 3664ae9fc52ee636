"""Side by side with peers. Each benchmark writes its figures to `benchmarks/results/`."""
