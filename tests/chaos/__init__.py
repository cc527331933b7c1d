"""Tests in which random faults follow each other, and the integration has to recover."""
