"""What flask-resilience costs, side by side with floors and with peers; ``tox run -e bench``.

Times are never asserted: the tables say what was measured and whether a budget was met. Where each
row is made stands in :mod:`benchmarks.rows`.
"""
