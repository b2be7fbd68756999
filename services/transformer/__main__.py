"""`python -m services.transformer`: this service alone."""

import sys

from services.transformer.process import main

sys.exit(main())
