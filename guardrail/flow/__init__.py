"""The flow of a guarded call: in what order its parts are screened, decided on and recorded.

order.py          the order of a call, read from top to bottom; pure
steps.py          what a flow asks of its driver: run these checks, ask the model, emit the record
plan.py           a policy made ready: what follows from it for every call
screening.py      one stage of a call, in waves of checks
room.py           what a screening has seen so far, and the checks that it has to make
locations.py      where things were found, in the names that the caller knows
stream.py         a streamed answer: what is to be looked at, and what may leave
stream_checks.py  the checks on stretches of a stream
ask_again.py      the note for a model that is to answer again
recorder.py       the times and facts of a call, and the record that they make

fast_path.py      the way of a call in which nothing is found; it begins every call of a server
fast_stage.py     the same for one stage
known_parts.py    pictures that were let pass before, known again as a whole

drivers.py        play a flow, in threads or on an event loop
runner.py         do its checks: cache, single flight, timeouts
pools.py          the threads that checks run in
"""
