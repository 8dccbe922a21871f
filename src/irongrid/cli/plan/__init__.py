"""`irongrid plan`: the question as typed, the answer for a screen, a page and a program."""
