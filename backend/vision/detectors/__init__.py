"""One module a detector. `backend/vision/detector.py` says which is opened."""
