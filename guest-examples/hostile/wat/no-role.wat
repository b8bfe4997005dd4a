;; Has a lifecycle and nothing to do.
;; exports: lifecycle
(module
  ;; include memory
  ;; include realloc
  ;; include describe
  ;; include init
  ;; include start
  ;; include stop

)
