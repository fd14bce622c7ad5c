"""The fault campaign: faults that we make ourselves, each audited by the emulator's ledger.

A short form of each runs in the suite (`test_faults_*.py`); `campaign.py` is the long one.
"""
