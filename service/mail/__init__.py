"""Mail: templates, an outbox in Redis, and what sends from it.

messages.py     what is said, to whom, and how it is sealed
templates.py    how it looks: text and HTML, by locale
outbox.py       keeps messages until they are sent, in the script that issues their ticket
sender.py       sends them, tries again, gives up
transports.py   by SMTP, or into a folder
notices.py      tells people what happened to their account
"""
