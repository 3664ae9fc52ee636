"""The addresses of the app."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "books"

urlpatterns = [
    path("", views.book_list, name="list"),
    path("courses/<slug:slug>/", views.course_detail, name="course"),
    path("courses/<slug:slug>/enrol/", views.enrol, name="enrol"),
    path("<slug:slug>/", views.book_detail, name="detail"),
    path("<slug:slug>/review/", views.review, name="review"),
]
