"""Django's own test suite, run on the stock engine and on ours.

``run.py`` is the command behind ``make django-suite``. The parent's side downloads the suite
(``sources``), splits it (``chunks``), runs each chunk in a child process (``process``, ``child``)
and compares the outcomes (``compare``, ``report``). The child's side is ``launch``,
``suite_settings``, ``recorder`` and ``handlers``. Between the two stands a log file (``events``).
"""
