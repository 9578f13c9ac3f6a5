"""A GigE Vision camera made of software: GVCP control, GVSP stream, GenICam description, simulated pixels.

It is written from the protocol's side of the wire, without Aravis: what receives it in the tests is then an
independent implementation, and the machine that runs it needs no camera software. It has what Aravis' own
fake camera lacks and drivers stumble over: Line0 and action triggers, chunk data, resend, vendor HDR polling,
the SFNC sequencer, exposures that land late, clocks that tick wrong, a second controller that is refused.

``python -m hw.simulator.gige --help`` lists the knobs. Two cameras need two addresses: in a network namespace
``ip addr add 127.0.0.2/8 dev lo`` and ``127.0.0.3/8``.
"""
