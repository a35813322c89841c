"""One module a version, each the successor of the one before. None is changed once released.

Each says with `oldest_program` the oldest version that a program must know to go on serving, and
to start again, once this one is there. One that only adds (a table, an index, a column that is
empty or has a default of the server's) keeps that of the version before; one that renames, narrows
or takes away names itself, a release after the last program that needed what is gone.
`service.database.versions` keeps to it.
"""
