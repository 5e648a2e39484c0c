"""Copy results to TensorBoard and MLflow: extras, in processes of their own, never waited for."""
