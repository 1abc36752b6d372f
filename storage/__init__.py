"""Files: fetched and verified, written beside their place and renamed. The lowest room: it imports none of the others.

storage.downloads   files that are fetched on first use, and verified
storage.beside      outputs that are there as a whole or not at all
storage.names       whether two names are one file
storage.pickles     what reading a damaged pickle may raise
storage.user_error  what the errors have in common that a user can mend
storage.cache       where what can be made again is kept, and what lasts from one run to the next
"""
