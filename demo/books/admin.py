"""The admin's pages for books and courses."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from .models import Author, Book, Course, Enrolment, Review
from .ratings import refresh_ratings


class BookInline(admin.TabularInline):
    """The books of an author."""

    model = Book
    fields = ["title", "slug", "year"]
    prepopulated_fields = {"slug": ["title"]}
    show_change_link = True
    extra = 0


class ReviewInline(admin.TabularInline):
    """The reviews of a book, to read; their own page changes them."""

    model = Review
    fields = ["user", "rating", "text", "changed"]
    readonly_fields = fields
    show_change_link = True
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Leave new reviews to the page of reviews, which counts them."""
        return False


class EnrolmentInline(admin.TabularInline):
    """Who is enrolled in a course."""

    model = Enrolment
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Author)
class AuthorAdmin(admin.ModelAdmin):
    """Authors with their books."""

    list_display = ["name", "born", "died", "number_of_books"]
    search_fields = ["name", "search_text"]
    inlines = [BookInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Author]:
        """Count the books of all authors in one query."""
        return super().get_queryset(request).annotate(number_of_books=Count("books"))

    @admin.display(description="books", ordering="number_of_books")
    def number_of_books(self, author: Any) -> int:
        """Return how many books of the author there are."""
        return author.number_of_books


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    """Books with their reviews."""

    list_display = ["title", "author", "year", "review_count", "average_rating"]
    list_filter = ["courses", ("author", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["author"]
    search_fields = ["title", "search_text", "author__name", "author__search_text"]
    autocomplete_fields = ["author"]
    prepopulated_fields = {"slug": ["title"]}
    readonly_fields = ["review_count", "average_rating"]
    inlines = [ReviewInline]


@admin.register(Review)
class ReviewAdmin(admin.ModelAdmin):
    """Reviews; saving one counts its book's again."""

    list_display = ["book", "user", "rating", "changed"]
    list_filter = ["rating", "changed"]
    list_select_related = ["book", "user"]
    search_fields = ["book__title", "user__username", "text"]
    autocomplete_fields = ["book", "user"]
    date_hierarchy = "changed"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Keep a review with its book and its user."""
        return ["book", "user"] if obj else []

    def save_model(
        self, request: HttpRequest, obj: Review, form: ModelForm[Review], change: bool
    ) -> None:
        """Save the review and its book's figures; the admin runs this in a transaction."""
        books = Book.objects.filter(pk=obj.book_id)
        books.select_for_update().get()
        super().save_model(request, obj, form, change)
        refresh_ratings(books)


@admin.register(Course)
class CourseAdmin(admin.ModelAdmin):
    """Courses with their books and students."""

    list_display = ["title", "number_of_students"]
    search_fields = ["title", "summary"]
    prepopulated_fields = {"slug": ["title"]}
    filter_horizontal = ["books"]
    inlines = [EnrolmentInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Course]:
        """Count the students of all courses in one query."""
        return super().get_queryset(request).annotate(number_of_students=Count("enrolments"))

    @admin.display(description="students", ordering="number_of_students")
    def number_of_students(self, course: Any) -> int:
        """Return how many students are enrolled."""
        return course.number_of_students


@admin.register(Enrolment)
class EnrolmentAdmin(admin.ModelAdmin):
    """Who is enrolled in what."""

    list_display = ["user", "course", "created"]
    list_filter = ["course", "created"]
    list_select_related = ["user", "course"]
    search_fields = ["user__username", "course__title"]
    autocomplete_fields = ["user", "course"]
