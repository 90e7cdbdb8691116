"""Several worker processes of a web application on one ledger, behind one port to which fal delivers webhooks."""
