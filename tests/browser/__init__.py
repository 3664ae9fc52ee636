"""The demo as its visitors meet it: in a real browser, against the whole site."""
