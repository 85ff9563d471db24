"""Numbers in, numbers out: durations, schedules, programs and the law. No torch, no lightning."""
