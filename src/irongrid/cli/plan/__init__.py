"""`irongrid plan`: the question as it is typed, and the answer for the screen, a page, a program."""
