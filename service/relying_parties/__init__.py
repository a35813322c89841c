"""Relying parties: whose apps are told when sessions end (OpenID back-channel logout)."""
