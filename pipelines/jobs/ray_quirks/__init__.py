"""What is done about Ray 2.60 itself: each work-around with the issue it is for, in one folder.

tests/pipelines/jobs/ray_quirks has a test for each that fails when a version of Ray no longer needs it.
Free of torch and of Ray's libraries: tasks of Ray Data load it.
"""
