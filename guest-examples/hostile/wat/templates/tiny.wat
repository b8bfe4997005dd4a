;; A template: the smallest plugin, a pipe that answers "ok". Its manifest is stamped in: see actors/README.md.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include init
  ;; include start
  ;; include stop
  ;; include run
  ;; 20 bytes that stamp.py looks for, and 1,000 for the manifest. "ok" of the part `run` is at 2048.
  (data (i32.const 1024) "WEIR-ACTOR-MANIFEST:"
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    "
    "                                                                                                    ")
  (func (export "weir:plugin/lifecycle@0.1.0#describe") (result i32)
    (i32.store (i32.const 16) (i32.const 1044))
    (i32.store (i32.const 20) (i32.const 1000))
    (i32.const 16))
)
