"""The server under the API: gunicorn's processes, with waitress's loop in each, so that a slow client holds no thread.

See docs/decisions/0028-the-server.md.
"""
