"""One module for each kind of source: a real thing behind it that documents can be put into and taken out of."""
