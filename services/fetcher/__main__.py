"""`python -m services.fetcher`: this service alone."""

import sys

from services.fetcher.process import main

sys.exit(main())
