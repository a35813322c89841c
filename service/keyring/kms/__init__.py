"""Key services that wrap data keys: a local file, AWS KMS, Vault, PKCS#11."""
