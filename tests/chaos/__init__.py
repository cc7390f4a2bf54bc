"""Strikes real workers in the middle of real jobs, and checks that nothing is lost or done twice."""
