"""Puts the parts of the service together, each from the settings and the parts below it.

`shared` makes what several capabilities stand on, `people` the use cases behind the routes,
`operators` those behind the command line. A capability that grows gets a module of its own here.
"""
