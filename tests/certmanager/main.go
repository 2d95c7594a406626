// Command cert-manager runs cert-manager's own controllers for the tests, without webhook and leader
// election. cert-manager's commands are separate Go modules that the module proxy does not have, so this
// one is assembled from its library packages.
//
// By default it issues Certificates from CA and self-signed issuers. -acme adds Orders and Challenges, and
// -shim the Certificates of annotated Gateways and ListenerSets of Gateway API.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	"github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	gatewayshim "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/gateways"
	listenersetshim "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/listenerset"
	requestsacme "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	"github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	requestsca "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	requestsselfsigned "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	"github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	"github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	"github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
	utilfeature "github.com/cert-manager/cert-manager/pkg/util/feature"
)

// workers is cert-manager's default for --concurrent-workers.
const workers = 5

// issuance has the controllers that issue Certificates.
var issuance = []string{
	issuers.ControllerName,
	clusterissuers.ControllerName,
	trigger.ControllerName,
	keymanager.ControllerName,
	requestmanager.ControllerName,
	approver.ControllerName,
	requestsca.CRControllerName,
	requestsselfsigned.CRControllerName,
	issuing.ControllerName,
	readiness.ControllerName,
	revisionmanager.ControllerName,
}

var acme = []string{requestsacme.CRControllerName, acmeorders.ControllerName, acmechallenges.ControllerName}

var shim = []string{gatewayshim.ControllerName, listenersetshim.ControllerName}

type flags struct {
	kubeconfig, clusterResources, nameservers string
	acme, shim                                bool
}

func main() {
	var f flags
	flag.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster")
	flag.StringVar(&f.clusterResources, "cluster-resource-namespace", "kube-system", "namespace of the Secrets of ClusterIssuers")
	flag.BoolVar(&f.acme, "acme", false, "run the ACME controllers too")
	flag.StringVar(&f.nameservers, "nameservers", "", "name servers for the self-checks of challenges: host:port, separated by commas")
	flag.BoolVar(&f.shim, "shim", false, "run the certificate-shim for Gateways and ListenerSets too")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs the controllers until the context ends, or until one of them fails.
func run(ctx context.Context, f flags) error {
	logf.InitLogs()
	names := slices.Clone(issuance)
	if f.acme {
		names = append(names, acme...)
	}
	if f.shim {
		names = append(names, shim...)
		if err := utilfeature.DefaultMutableFeatureGate.Set("ListenerSets=true"); err != nil {
			return err
		}
	}

	group, ctx := errgroup.WithContext(logf.NewContext(ctx, logf.Log))
	factory, err := controller.NewContextFactory(ctx, options(f))
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	for _, name := range names {
		construct, ok := controller.Known()[name]
		if !ok {
			return fmt.Errorf("cert-manager has no controller %q", name)
		}
		// It registers its informers, so all are constructed before the informers start.
		built, err := construct(factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		group.Go(func() error {
			if err := built.Run(workers, ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	if f.acme {
		shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	}
	if f.acme || f.shim {
		shared.GWShared.Start(ctx.Done())
	}
	return group.Wait()
}

// options are the defaults of cert-manager's flags, with shorter intervals for ACME.
func options(f flags) controller.ContextOptions {
	nameservers := strings.FieldsFunc(f.nameservers, func(r rune) bool { return r == ',' })
	return controller.ContextOptions{
		Kubeconfig:         f.kubeconfig,
		KubernetesAPIQPS:   200,
		KubernetesAPIBurst: 400,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: f.clusterResources},
		ACMEOptions: controller.ACMEOptions{
			HTTP01SolverImage:                 "registry.invalid/acmesolver",
			HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
			HTTP01SolverResourceRequestMemory: resource.MustParse("64Mi"),
			HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
			HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
			ACMEHTTP01SolverRunAsNonRoot:      true,
			HTTP01SolverNameservers:           nameservers,
			DNS01Nameservers:                  nameservers,
			DNS01CheckAuthoritative:           len(nameservers) == 0,
			DNS01CheckRetryPeriod:             time.Second,
		},
		IngressShimOptions: controller.IngressShimOptions{
			DefaultIssuerKind:                 "Issuer",
			DefaultIssuerGroup:                "cert-manager.io",
			DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"},
			GatewayAPIExtraProtocols:          sets.New[string](),
		},
		CertificateOptions: controller.CertificateOptions{
			CopiedAnnotationPrefixes: []string{
				"*",
				"-kubectl.kubernetes.io/",
				"-fluxcd.io/",
				"-argocd.argoproj.io/",
			},
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
		ConfigOptions: controller.ConfigOptions{
			EnableGatewayAPI:            f.shim || f.acme,
			EnableGatewayAPIListenerSet: f.shim,
		},
	}
}
