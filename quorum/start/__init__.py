"""What a process does first that imports `quorum`: it heeds wishes to stop, and then looks whose packages it has."""

from quorum.start.own_process import end_at_a_wish

end_at_a_wish()
