"""Mutation testing: does a test fail when a protection is gone?"""
