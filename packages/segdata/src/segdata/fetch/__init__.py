"""`segdata fetch`: the official archives from their hosts or mirrors, resumable and checked.

`catalogue` knows the files, `wishes` what a user adds to it, `partial` the bytes on the disk,
`checks` whether they are the right ones, `transfer` one request, `download` everything around it.
"""
