"""The command line that reads JSON logs; it needs no app and changes nothing.

Bytes come from :mod:`.source`, become records in :mod:`.record`, and are written by
:mod:`.output`; what lies between is pure.
"""
