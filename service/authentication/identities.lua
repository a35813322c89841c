-- The identities of an account have changed: let the pods know, and note it.
--
-- arguments   row_version · event · provider

version_state() -- that it can be read, before anything is written
emit(event, 'provider', provider)
publish(row_version)
