"""Secrets out of the process environment: what children, kernels and `/proc` may see of ours."""

from __future__ import annotations
