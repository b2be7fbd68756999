"""`python -m services.writer`: this service alone."""

import sys

from services.writer.process import main

sys.exit(main())
