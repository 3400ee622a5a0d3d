"""Moving pictures: reading, writing, who is who from frame to frame, joints that do not shake."""
