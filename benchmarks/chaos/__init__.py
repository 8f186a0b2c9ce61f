"""Kill what a job needs, go on, and compare with the job that was left alone."""
