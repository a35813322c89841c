"""How far an end of sessions has come: which guards have said that they refuse them.

guard_positions.py  reads what guards say, and asks them to say it now
waiting.py          waits until they refuse what has ended
receipts.py         signs what has ended, and who has confirmed it
status.py           tells operators how every guard is
"""
