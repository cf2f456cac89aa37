"""What is known about a BOINC project on its server: directories, database, work units and their results.

Light on purpose: the daemons' scripts import it for every result.
"""
