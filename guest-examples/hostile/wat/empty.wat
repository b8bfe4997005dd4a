;; Exports nothing at all.
;; exports: 
(module
  ;; include memory

)
