"""A trained network as a model of MLflow, which is loaded and served without Ray and without this package."""
