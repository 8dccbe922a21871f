"""What each rank of examples/run-script.yaml runs; needs nothing beyond Python."""

import os
import sys

rank, ranks = os.environ["RANK"], os.environ["WORLD_SIZE"]
sys.stdout.write(f"{os.environ['GREETING']} from rank {rank} of {ranks}, in {os.getcwd()}\n")
