"""Tracking of trainings with MLflow."""
