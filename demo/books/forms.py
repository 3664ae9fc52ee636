"""What a visitor can send: a search and a review."""

from __future__ import annotations

from django import forms

from .models import Review

RATINGS = {
    5: "5: could not put it down",
    4: "4: glad I read it",
    3: "3: fine",
    2: "2: hard going",
    1: "1: not for me",
}


class SearchForm(forms.Form):
    """The words to look for; none for all books."""

    q = forms.CharField(label="Search books", max_length=100, required=False)


class ReviewForm(forms.ModelForm):
    """A rating and a few words."""

    rating = forms.TypedChoiceField(
        label="Your rating",
        choices=list(RATINGS.items()),
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose a rating from 1 to 5."},
    )
    text = forms.CharField(
        label="What did you think of it?",
        min_length=20,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 5}),
        error_messages={
            "required": "Write a few words about the book.",
            "min_length": "Write at least %(limit_value)d characters; these are %(show_value)d.",
            "max_length": "Write %(limit_value)d characters at most; these are %(show_value)d.",
        },
    )

    class Meta:
        model = Review
        fields = ["rating", "text"]
