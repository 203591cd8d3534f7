"""How long a claim takes, beside PING and beside what else one would take: ``make bench``.

``claiming``    a warm claim beside PING and the peers; round trips
``connecting``  a new client that connects and claims; what connecting sends
``racing``      claimers that come together: how long until the last is answered, and how many win
``serving``     the server's time for a claim; with many records; with AOF
``storing``     bytes of a run
``starting``    the import, and a whole callback that loses, in a process that has Airflow loaded
``scaling``     claims per second by processes, on a Cluster, and the sweep of what is due

Each yields rows of the ``table``, by the ways of ``measuring``; ``peers`` holds what else one would take, and ``plot``
draws. Two figures are compared only where they were taken in turns: a machine is never as fast as a minute ago.
"""
