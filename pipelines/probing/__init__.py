"""`quorum probe`: classifiers on a run's backbone, trained on augmented images as the papers do."""
