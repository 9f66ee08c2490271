"""The doctor: what is wrong with a set-up, said before a run has cost anything.

`segtrain doctor` admits a *patient* (net, optimiser, data, options: `patient`), makes one
*examination* of it (`examination`) and asks each *rule* (`rules/`) for its opinion: findings, or
that what it looked at is healthy, or that there was nothing to look at. Nothing is kept of it:
whatever is trained is a copy, no file is written, torch's random numbers are put back.

To add a rule:

1. Add one file to `rules/`. It holds `RULE`, a `findings.Rule`: its name (that of the file, with
   hyphens), the worst severity it gives, the reason (paper or arithmetic), its evidence, what to
   do, and the function `examine(examination) -> Opinion`. Nothing else has to be registered.
2. What it measures, it asks by `examination.once(probe)`: a function of the examination that is
   computed once, however many rules ask for it. Probes are modules beside this one (`motion`,
   `silencing`, ...). A probe trains on `examination.learner()`, a copy, and takes its batches from
   `examination.batches`. What is not always there (a checkpoint, val sets) is None or empty in
   `examination.patient`: give back `Unexamined` with the reason then.
3. Add a planted case, a set-up that it must find, to `tests/segtrain/doctor/test_planted.py`: each
   rule must have one, and each healthy set-up of `test_healthy.py` must stay quiet. A rule that
   cannot be sure gives a note, not a warning.
4. Run `python tools/doctor_page.py`, which writes the list of rules into docs/doctor.md.
"""
