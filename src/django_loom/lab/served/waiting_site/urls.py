"""`/async/MILLISECONDS/` awaits, `/sync/MILLISECONDS/` blocks; others call synchronous code,
compute, or make a page from the answers of other services.
"""

from __future__ import annotations

from django.urls import path

from waiting_site import adapters, computing, home, views

urlpatterns = [
    path("async/<int:milliseconds>/", views.wait),
    path("sync/<int:milliseconds>/", views.block),
    path("sensitive/<int:milliseconds>/", adapters.sensitive),
    path("not-sensitive/<int:milliseconds>/", adapters.not_sensitive),
    path("bridge/<int:milliseconds>/", adapters.bridge),
    path("cpu/process/<int:milliseconds>/", computing.in_process),
    path("cpu/loop/<int:milliseconds>/", computing.on_loop),
    path("cpu/pool/<int:milliseconds>/", computing.in_pool),
    path("home/sync/<int:services>/", home.sync),
    path("home/one-by-one/<int:services>/", home.one_by_one),
    path("home/gathered/<int:services>/", home.gathered),
]
