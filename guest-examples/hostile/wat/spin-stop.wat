;; Serves, but never stops.
;; exports: lifecycle pipe
(module
  ;; include reply
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include run
  (func (export "weir:plugin/lifecycle@0.1.0#stop") (loop $again (br $again)))
)
