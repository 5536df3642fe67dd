"""What programs and commands ask a farm's service with: submit jobs, watch them, fetch the results.

Knows the service only by its HTTP interface. Importing this imports httpx, but no torch.
"""

from farm.client.client import Client
from farm.client.fetching import Fetched
from farm.client.job_handle import JobHandle
from farm.client.job_status import JobStatus
from farm.client.watching import Event

__all__ = ["Client", "Event", "Fetched", "JobHandle", "JobStatus"]
