"""Tests that share services, which end with the last of them."""
