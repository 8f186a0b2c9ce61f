"""Ray and MLflow: moves data, runs workers, keeps state, records runs."""
